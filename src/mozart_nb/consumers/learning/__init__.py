"""What earlier jobs came to, by template and by rule: counted exactly, told with its evidence, and little else.

`outcomes` reads attempts off the events of a job, `tally` counts them, `insights` makes rows of the counts and
`suggestions` what the numbers say about settings. Nothing here changes a setting.
"""
