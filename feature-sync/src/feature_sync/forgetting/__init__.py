"""Users' rights: removes what is stored about a user, and keeps it from coming back."""
