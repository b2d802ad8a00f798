"""Other ways to model text than the recurrent decoder, behind the same contract."""
