"""What earlier jobs came to, by template and by rule: counted exactly, told with its evidence, and little else.

`outcomes` reads attempts off the events of a job, `tally` counts them, `section` keeps the counts in the history;
`insights` makes rows of them, `suggestions` says what they mean for settings, `hints` what they mean for prompts.
Nothing here changes a setting.
"""

from mozart_nb.consumers.learning.section import LearningSection

__all__ = ["LearningSection"]
