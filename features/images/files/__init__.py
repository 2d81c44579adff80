"""Image files by their bytes: headers, forms, orientation; without decoding them."""
