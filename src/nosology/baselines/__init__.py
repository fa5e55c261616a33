"""Plain methods that everything else has to beat: the label prior, logistic regressions, nearest neighbours."""
