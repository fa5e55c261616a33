"""Tokens -> hidden states: convolutions, a recurrent network, and any encoder of the transformers library."""
