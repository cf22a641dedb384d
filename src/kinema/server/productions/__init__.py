"""Productions in a server's store: planned, filmed by the queue's workers, decided on by people, delivered."""
