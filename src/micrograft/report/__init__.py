"""What a person gets to read: the record of a plan or a training, as text, JSON and HTML."""
