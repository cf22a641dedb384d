"""The arena: how true is a world model? Named tests with exact formulas, oracles, baselines, intervals, one report."""
