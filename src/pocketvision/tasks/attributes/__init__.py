"""Each of the labels is true of an image or not; of some images it is not known."""
