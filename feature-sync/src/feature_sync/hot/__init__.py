"""What is hot: sliding windows of weighted interactions."""
