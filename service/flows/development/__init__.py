"""How models came to be what they are: recorded trainings, and what is measured along them."""
