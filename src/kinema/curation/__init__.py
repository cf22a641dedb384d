"""From raw films to captioned clips: cuts between shots, measures of each shot, captions, and a page that says what was kept."""
