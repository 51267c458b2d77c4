# %% [markdown]
# # train_and_look

# %%
print(1)
