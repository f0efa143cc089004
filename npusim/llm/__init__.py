"""Language models as people run them: prompts in, tokens out, with the runtime around the NPU's graphs."""
