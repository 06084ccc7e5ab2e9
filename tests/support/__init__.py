"""What tests of several rooms share: made-up data, brokers and processes, and ways to wait for what they do."""
