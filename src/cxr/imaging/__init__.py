"""From files to tensors: read, preprocess, augment, corrupt; and the phantoms."""
