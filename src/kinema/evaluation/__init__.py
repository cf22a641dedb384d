"""The arena: how true is a world model? Named tests with exact formulas, oracles, cheats, intervals, one report."""
