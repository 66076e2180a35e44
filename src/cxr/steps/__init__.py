"""One module per step. A step reads folders that earlier steps wrote and writes its own, whole or not at all."""
