"""How accurate learning on a device is: spoken digits of a new speaker, a watch after a phone, photographs of hands."""
