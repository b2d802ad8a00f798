"""The shared recurrent network, in torch."""
