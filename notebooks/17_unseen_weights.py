# %% [markdown]
# # Weights that see nothing
#
# ## Expectations, written before the run
#
# A first look at one full-size ResNet18 (15 epochs, 81.4%) came before these expectations.
#
# 1. A network sees all its weights once its last maps have more than one pixel: ResNet18 at 64 by 64 pixels.
# 2. Pruning exactly the unseen weights changes no prediction.
# 3. Weight decay shrinks unseen weights, and nothing else moves them: their norm falls by the factor that the SGD
#    recursion gives, to 1 part in 1,000. L1 pruning then takes more of them than their share of the weights.
# 4. Without the unseen weights, the amount at cosine 0.99 and the optimal amount fall, and the kurtosis falls.
# 5. At equal cosine, L1 is more accurate than random pruning. If the cosine counts seen weights only, this gap falls by
#    about 40% (from 64 to 38 points in the first look), not to zero.
# 6. With a stem for 32 by 32 pixels, no weight is unseen, and the gap of L1 to random pruning is smaller.
# 7. Longer training with weight decay raises the amount at cosine 0.99, to within 5 points as the closed form says, in
#    which only the unseen weights shrink.
