"""The claims of "Audio Lottery" (Ding, Chen, Wang, ICLR 2022), measured on real recordings; see docs/claims.md."""
