"""The phases of an evaluation; ``service.flows.evaluate`` composes them."""
