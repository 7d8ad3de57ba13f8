"""An identity provider that speaks OpenID Connect: where people who work here are sent, and who comes back."""
