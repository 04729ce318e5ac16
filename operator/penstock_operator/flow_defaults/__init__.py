"""FlowDefaults: which defaults are in force in a namespace, and the condition that says so.

How a Flow takes them over is in `flows`.
"""
