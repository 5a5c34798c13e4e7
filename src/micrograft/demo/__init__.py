"""The demo's data and its base network: a watch that learns one person's way of moving."""
