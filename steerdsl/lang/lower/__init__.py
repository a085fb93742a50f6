"""From syntax nodes to the checked recipe.

`file` walks the statements in text order; each other module lowers one part of the language and
hands back a value, or None after it has reported what is wrong. A name whose definition was bad
stays known, so that one mistake gives one message.
"""
