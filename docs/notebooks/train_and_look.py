# %% [markdown]
# # Train on MNIST and look
#
# The tutorial's network, trained for ten passes over 60,000 digits, and then looked at: how it learnt, what it sees,
# where it is wrong. Takes a second or two.

# %%
# %matplotlib inline
import numpy as np
from matplotlib.figure import Figure

from chainrule import Network, Rescaling, TwoLayerNet, fit, load_mnist, softmax

(x_train, t_train), (x_test, t_test) = load_mnist(normalize=False)
layers = TwoLayerNet(784, 50, 10, dtype="float32", seed=0).layers
net = Network({"Rescaling1": Rescaling(), **layers})
history = fit(net, x_train, t_train, test=(x_test, t_test), epochs=10, seed=0)
print(f"test accuracy {history.test_accuracy[-1]:.3f}")
assert history.test_accuracy[-1] > 0.955

# %% [markdown]
# ## How it learnt
#
# The loss of each batch jumps about, since each batch has other images; its mean over a hundred steps shows the way.

# %%
figure = Figure(figsize=(9, 3), layout="constrained")
left, right = figure.subplots(1, 2)
losses = np.array(history.losses)
left.plot(losses, color="0.8", linewidth=0.5)
left.plot(np.convolve(losses, np.ones(100) / 100, mode="valid"))
left.set(xlabel="step", ylabel="loss", yscale="log", title="loss")
epochs = np.arange(1, 11)
right.plot(epochs, history.train_accuracy, "o-", label="train")
right.plot(epochs, history.test_accuracy, "o-", label="test")
right.set(xlabel="epoch", title="accuracy")
right.legend()
figure

# %% [markdown]
# ## What it sees
#
# Each hidden unit has a weight for every pixel: an image of what it looks for. Blue counts for it, red against it.
# The rim is pale: there is never any ink, so the weights there are the small ones it began with. A unit that is
# noise all over has learnt little, as it is hardly ever on.

# %%
W1 = net.params["W1"]
figure = Figure(figsize=(9, 4), layout="constrained")
for ax, weights in zip(figure.subplots(3, 8).flat, W1.T, strict=False):
    largest = np.abs(weights).max()
    ax.imshow(weights.reshape(28, 28), cmap="RdBu", vmin=-largest, vmax=largest)
    ax.axis("off")
hidden = x_test / 255 @ W1 + net.params["b1"]
print(((hidden > 0).mean(axis=0) < 0.01).sum(), "of 50 units on for less than one image in a hundred")
figure

# %% [markdown]
# ## Where it is wrong
#
# Rows are what it was, columns what the network said. Right answers, the diagonal, are left out so that the rest
# shows.

# %%
scores = net.predict(x_test)
said = scores.argmax(axis=1)
confusion = np.zeros((10, 10), int)
np.add.at(confusion, (t_test, said), 1)
assert confusion.sum() == len(x_test)
mistakes = confusion - np.diag(confusion.diagonal())
figure = Figure(figsize=(4.5, 4), layout="constrained")
ax = figure.subplots()
ax.imshow(mistakes, cmap="Reds")
for (was, is_said), number in np.ndenumerate(mistakes):
    if number:
        ax.text(is_said, was, number, ha="center", va="center", fontsize=8)
ax.set(xlabel="said", ylabel="was", xticks=range(10), yticks=range(10))
figure

# %% [markdown]
# The mistakes it was surest of:

# %%
sure = softmax(scores).max(axis=1)
wrong = np.flatnonzero(said != t_test)
worst = wrong[np.argsort(-sure[wrong])][:10]
figure = Figure(figsize=(9, 4), layout="constrained")
for ax, i in zip(figure.subplots(2, 5).flat, worst, strict=True):
    ax.imshow(x_test[i].reshape(28, 28), cmap="gray_r")
    ax.set_title(f"{t_test[i]}, said {said[i]}", fontsize=9)
    ax.axis("off")
figure

# %% [markdown]
# Some of these you would get wrong, too.
