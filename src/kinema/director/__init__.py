"""The director: from a story to a film. It plans shots, films them by any engine, checks what came out, films again what failed,
and delivers the cut."""
