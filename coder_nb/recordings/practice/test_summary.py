import unittest

from summary import mean_mass


class MeanMass(unittest.TestCase):
    def test_the_mean_is_of_one_species(self):
        puffins = [
            {"species": "Tufted", "mass_g": "700"},
            {"species": "Tufted", "mass_g": "800"},
            {"species": "Horned", "mass_g": "500"},
        ]
        self.assertEqual(mean_mass(puffins, "Tufted"), 750)


if __name__ == "__main__":
    unittest.main()
