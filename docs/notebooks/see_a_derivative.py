# %% [markdown]
# # see_a_derivative

# %%
print(1)
