"""What a person does with the pictures of a folder: turning, thumbnails, slideshow, the wheel, the trash."""
