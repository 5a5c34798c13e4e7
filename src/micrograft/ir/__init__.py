"""The intermediate representation: types, graph, text form and verifier."""
