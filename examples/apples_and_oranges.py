"""The shopping example of "Deep Learning from Scratch" §5.4: how each number on the bill affects its total.

Two apples at 100, three oranges at 150, and a tax of 10 %. Run it: ``python examples/apples_and_oranges.py``
"""

from __future__ import annotations

from chainrule import AddLayer, MulLayer, Variable


def main() -> None:
    """Print the total and its gradient with respect to every price, count and the tax."""
    apple, apple_num = 100, 2
    orange, orange_num = 150, 3
    tax = 1.1

    mul_apple, mul_orange, add_fruit, mul_tax = MulLayer(), MulLayer(), AddLayer(), MulLayer()

    apple_price = mul_apple.forward(apple, apple_num)
    orange_price = mul_orange.forward(orange, orange_num)
    fruit_price = add_fruit.forward(apple_price, orange_price)
    price = mul_tax.forward(fruit_price, tax)

    dfruit_price, dtax = mul_tax.backward(1)
    dapple_price, dorange_price = add_fruit.backward(dfruit_price)
    dorange, dorange_num = mul_orange.backward(dorange_price)
    dapple, dapple_num = mul_apple.backward(dapple_price)

    # .6g: 650 * 1.1 is 715.0000000000001 in binary floating point.
    print(f"price: {price:.6g}")
    print(f"dApple: {dapple:.6g}")
    print(f"dApple_num: {dapple_num:.6g}")
    print(f"dOrange: {dorange:.6g}")
    print(f"dOrange_num: {dorange_num:.6g}")
    print(f"dTax: {dtax:.6g}")


def recorded() -> None:
    """Print the same with variables: every operator makes its own node, and `backward` needs no code of yours."""
    apple, apple_num = Variable(100, "apple"), Variable(2, "apple_num")
    orange, orange_num = Variable(150, "orange"), Variable(3, "orange_num")
    tax = Variable(1.1, "tax")

    price = (apple * apple_num + orange * orange_num) * tax
    price.backward()

    print(f"price: {price.value:.6g}")
    for variable in (apple, apple_num, orange, orange_num, tax):
        print(f"d{str(variable.name).capitalize()}: {variable.grad:.6g}")


if __name__ == "__main__":
    main()
    print()
    recorded()
