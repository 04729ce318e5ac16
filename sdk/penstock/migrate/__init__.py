"""Rewrites programs that were written for Prefect: `python -m penstock.migrate FILE...`.

`rewriting` changes the imports and keeps everything else; `findings` lists what will differ and what has no
counterpart. What has no counterpart is asked from the modules themselves and from
`penstock.authoring.prefect.not_offered`.
"""
