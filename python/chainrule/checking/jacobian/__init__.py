"""Jacobians: functions that give many numbers, with all their derivatives written by hand.

A Jacobian is read as a matrix of M outputs and N numbers of one argument (`blocks`), the function is moved along groups
of columns: one column at a time, many that no row has two of (`colours`), or all of them along a random direction.
`comparison` holds every row of every group against the matrix, `causes` says what explains a difference.
"""
