# %% [markdown]
# # is_my_gradient_right

# %%
print(1)
