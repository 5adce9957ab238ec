"""What may an operator see and change?"""
