"""GGUF files: written by llama.cpp's own converter, made smaller by its own quantiser, and run by llama.cpp itself."""
