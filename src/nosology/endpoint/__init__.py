"""Language models behind a server of OpenAI's chat protocol: one client, a coder, a probe of what a model knows."""
