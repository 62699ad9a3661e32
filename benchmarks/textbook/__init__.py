"""What tutorials write, per framework: the same network (128, 64, dropout 0.2; Adam, 1e-3)."""

EPOCHS = 20
BATCH = 64
