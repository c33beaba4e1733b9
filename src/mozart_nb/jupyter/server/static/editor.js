// The page for a new job: what is written is checked while it is written, rehearsed on request, and started.
export function watchEditor() {}
