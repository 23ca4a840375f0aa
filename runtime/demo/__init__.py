"""`amc-demo`: a page that segments a visitor's video; needs gradio."""
