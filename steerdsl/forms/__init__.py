"""What comes from outside, read with limits and checked for its form before anything else looks at it.

Run directories, packs, locks, the store, model folders and data files may be a stranger's, or damaged. `files`
reads bytes, `text` turns them into plain values, `form` compares those with the form that they should have,
and the other files say what the forms are. What is wrong is a `Misread`, whose text is for people: the caller
gives it the code of a diagnostic.
"""
