"""Reading stories, and planning scripts of them."""
