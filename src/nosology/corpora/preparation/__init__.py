"""How a raw release becomes a prepared folder: tables read as streams, rules of a corpus, files written whole."""
