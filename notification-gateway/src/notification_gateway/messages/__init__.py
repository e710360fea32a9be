"""What people read: notices in Chinese and English, and their forms for each channel."""
