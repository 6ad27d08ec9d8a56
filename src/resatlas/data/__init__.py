"""Images in: one file a data set, their order, their augmentation."""
