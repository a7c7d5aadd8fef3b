"""The catalogue from Sunbird's content, batch and user services, kept in our own tables as it comes."""
