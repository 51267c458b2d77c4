"""Which arrays of an object are parameters, and where their gradients are.

`places` knows where arrays are stored and what their gradients are called; networks, files and the check all use it.
There are two ways to tell a parameter from a cache. Before the first forward pass, only the code of the class can tell
(`code`). `Network.params`, `fit` and files use the code: they must give the same answer before and after a pass, and
may not run anything. The check can run a forward and a backward pass, and trusts only what it has seen
(`chainrule.checking.holdings`): an array that stays in its place and changes the outputs is a parameter. `untrained`
asks the code first, and then tries out what the code leaves open, with the check's own `moves`.
"""
