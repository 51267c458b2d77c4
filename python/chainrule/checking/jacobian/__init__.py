"""Jacobians: functions that give many numbers, with all their derivatives written by hand.

A Jacobian is read as a matrix of M outputs and N numbers of one argument (`blocks`). The argument is moved along groups
of columns: one column at a time, many columns that share no row (`colours`), or all of them along a random direction.
`comparison` compares every row of every group with the matrix, and `causes` says what explains a difference.
"""
