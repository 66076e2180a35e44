"""Networks, losses, data on the device, fitting and export."""
