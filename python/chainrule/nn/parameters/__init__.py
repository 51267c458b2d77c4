"""Which arrays of an object are parameters, and where their gradients lie.

`places` says where arrays lie and what their gradients are called: for networks, files and the check alike. A parameter
is told from a cache in two ways. Before the first forward pass only the code of the class can tell (`code`); so
`Network.params`, `fit` and files ask it, which must give the same before and after a pass, and may try nothing. The
check has a forward and a backward pass to try, and believes only what it has seen (`chainrule.checking.holdings`): what
stays in its place and moves the outputs. `untrained` asks the code first, and then tries what it leaves open, with the
check's own `moves`.
"""
